"""Pairs of shifted and clean audio, made and checked."""
