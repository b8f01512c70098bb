"""Property tests try the same examples in every run, and take the time they need."""

from hypothesis import settings

settings.register_profile("warren", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("warren")
