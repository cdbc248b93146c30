"""The sections of the page, one module each: from the content to HTML."""
