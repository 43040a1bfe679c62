"""Tables: their model, columns, captions and renderings."""
