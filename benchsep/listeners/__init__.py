"""Agreement of metrics with listeners: ratings, agreement, badges."""
