"""Runs LocalStack as it is, but for one repair: moto writes MAC addresses as `02:00:00:1802x:9302x:402x` (it lost the colons of three format
specifications, in moto/ec2/utils.py), and a MAC address is how a node knows its own interface. Stops when that is no longer so, so that the
repair goes with its reason. Everything else that LocalStack gets wrong stays wrong. What it draws by chance it draws alike in every run.
"""
import re
import sys

from moto.ec2 import utils
from moto.ec2.models import elastic_network_interfaces
from moto.moto_api._internal import mock_random

if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", utils.random_mac_address()):
    sys.exit("MAC addresses are well-formed by now: take test/localstack/start.py away")


def random_mac_address() -> str:
    return "02:00:00:" + ":".join(f"{mock_random.randint(0, 255):02x}" for _ in range(3))


elastic_network_interfaces.random_mac_address = random_mac_address

mock_random.seed(1)

from localstack.runtime.main import main  # noqa: E402  after the repair

main()
