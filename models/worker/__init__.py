"""What runs in a process of its own: networks that need torch, and how they are asked."""
