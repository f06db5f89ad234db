"""A server that answers as AWS does, from the package moto. Its arguments are moto's."""

from moto.server import main

main()
