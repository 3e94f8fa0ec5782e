"""The judge of an examination: rules that name causes from the evidence, without I/O."""
