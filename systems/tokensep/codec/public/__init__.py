"""Published codecs behind the ``Codec`` protocol: DAC, EnCodec, Mimi, by ``transformers``."""
