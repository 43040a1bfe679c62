"""Coverage-guided fuzzing of the readers that take what strangers write: ``make fuzz``.

targets/   one harness for each reader
corpus/    a few KB of inputs for each, from which a fuzzer starts
crashes/   inputs that once ended in anything but one of our errors; every test run reads them again
"""
