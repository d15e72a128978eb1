"""Everything that knows Qwen2.5-VL."""
