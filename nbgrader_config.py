"""For nbgrader, in the folder of a class: cells that train take longer than its 30 seconds."""

c = get_config()  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
c.Execute.timeout = 3600  # seconds a cell
