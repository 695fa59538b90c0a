"""Built-in backends, one module each with what it needs beside it; ``vmvc.registry`` names them."""
