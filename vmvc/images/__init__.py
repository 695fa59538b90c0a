"""An image of the experiment -> one root filesystem -> Docker image, folder, or what a machine boots.

Reading order: ``root`` (what every recipe is turned into) and ``cache`` (built once, by content); the recipes
``tiny``, ``debian``, ``oci``; the renderings ``docker``, ``folder`` and, for machines, ``boot`` with
``kernel``, ``initramfs`` (its scripts are in ``guest/``), ``sshd`` with ``dropbear`` and ``keys``, ``disk``
and ``vdi``; ``removal`` undoes it all.
"""

from vmvc.images.boot import Bootable, bootable, discard_bootable
from vmvc.images.cache import Entry, cache_dir
from vmvc.images.cache import entries as cached
from vmvc.images.clock import emulated_clock
from vmvc.images.docker import docker_image, remove_docker_image
from vmvc.images.folder import discard_unpacked, unpacked
from vmvc.images.initramfs import MACHINE_LINES, OWN_DISK_LINES, OWN_DISK_SILENT
from vmvc.images.keys import ALIAS as HOST_ALIAS
from vmvc.images.keys import ssh_keys
from vmvc.images.removal import Removed, remove
from vmvc.images.root import RootFs, command_of, root_filesystem
from vmvc.images.vdi import Vdi, VdiBoot, discard_vdi_boot, vdi_boot

__all__ = [
    "HOST_ALIAS",
    "MACHINE_LINES",
    "OWN_DISK_LINES",
    "OWN_DISK_SILENT",
    "Bootable",
    "Entry",
    "Removed",
    "RootFs",
    "Vdi",
    "VdiBoot",
    "bootable",
    "cache_dir",
    "cached",
    "command_of",
    "discard_bootable",
    "discard_unpacked",
    "discard_vdi_boot",
    "docker_image",
    "emulated_clock",
    "remove",
    "remove_docker_image",
    "root_filesystem",
    "ssh_keys",
    "unpacked",
    "vdi_boot",
]
