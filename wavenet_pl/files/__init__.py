"""Files that are whole or not there, that grow by lines, or that anyone may have written; keys taken out of text."""
