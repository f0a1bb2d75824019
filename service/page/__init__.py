"""The page at `/`: a feed with its bars, and why a bar shows what it shows. Its files are in `static/`."""
