#!/usr/bin/env bash
exec ./qdrant "$@"
