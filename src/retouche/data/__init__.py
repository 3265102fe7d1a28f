"""What networks learn from: pictures, holes, sketches and structure pictures, all keyed by sample."""
