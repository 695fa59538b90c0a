"""Built-in metrics, one module each; ``vmvc.registry`` names them."""
