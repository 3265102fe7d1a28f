"""Masks that find themselves: marks that stay the same over many pictures, dates, dust and scratches of scans."""
