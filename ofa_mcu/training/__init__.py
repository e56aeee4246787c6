"""The recipe: max-net warm-up ended by an early-bird test, L1 sort, sandwich with in-place distillation.

Every random draw follows from (seed, step), so a run that was killed resumes to the same weights.
"""
