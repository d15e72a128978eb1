"""What a training will take before it is paid for: memory, disk, hours, and what fits."""
