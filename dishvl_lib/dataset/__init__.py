"""Stage 03: menus, conversations and their audit."""
