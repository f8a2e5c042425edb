"""x"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """x"""


def main(args: argparse.Namespace) -> int:
    """x"""
    return 0
