//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func isolated(string) error { return errors.New("namespaces exist on Linux alone") }

func inside(string) error { return errors.New("namespaces exist on Linux alone") }

func namespacePID() int { return os.Getpid() }

func clean(dir, _ string) error { return removeAll(dir) }
