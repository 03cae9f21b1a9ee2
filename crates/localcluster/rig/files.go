package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// removeAll removes dir, its lock last: until then no new run may use the directory.
func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			path := filepath.Join(dir, entry.Name())
			if err := patiently(func() error { return os.RemoveAll(path) }); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// patiently retries for a few seconds: the kernel releases files and cgroups of an exited process with a delay.
func patiently(attempt func() error) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := attempt()
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
