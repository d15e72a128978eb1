"""Everything that talks the OpenAI protocol and must not lose a paid reply."""
