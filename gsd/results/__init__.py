"""What reads run folders: single runs, tables of runs, sweeps, where a result came from."""
