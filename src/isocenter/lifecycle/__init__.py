"""What becomes of objects after they were received: compression in the store."""
