"""What is simulated: machine models in TOML, their checks, and the topology made of them."""

from numasim.machine.loading import from_tables, from_toml_text, load, names
from numasim.machine.model import Machine
from numasim.machine.topology import Topology

__all__ = ["Machine", "Topology", "from_tables", "from_toml_text", "load", "names"]
