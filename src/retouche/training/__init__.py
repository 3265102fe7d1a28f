"""The one training loop: it knows the Recipe protocol, and no paper."""
