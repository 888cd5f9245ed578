"""What the processes of a platform under chaos load by themselves; nothing else belongs in this folder."""
