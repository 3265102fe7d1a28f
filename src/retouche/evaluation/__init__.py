"""Tables that another lab can reproduce: what was measured on what, said in the table itself."""
