"""What people and programs read about a model: figures of every layer, why each runs as it does, plots, pages, JSON.

Nothing here computes a cost: all figures come from the planner or from a device.
"""
