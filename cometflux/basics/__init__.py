"""What every folder may use: text that is safe to print, and regular files."""
