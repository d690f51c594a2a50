"""How weights are learnt: the loop, its state, optimisers, freezing, memory, processes, search."""
