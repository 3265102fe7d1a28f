"""Tables that another lab can reproduce: what was measured on what, stated in the table itself."""
