"""Tasks for the development of this project itself; its tasks.py adds them."""
