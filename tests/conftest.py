from hypothesis import settings

# A busy machine is no defect: nothing here asserts a time.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
