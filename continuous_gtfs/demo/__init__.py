"""The whole platform on one machine, on embedded parts: processes, their order, and what they show."""
