package main

import "syscall"

func duplicate(from, to int) error {
	if from == to {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(from), syscall.F_SETFD, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	return syscall.Dup3(from, to, 0)
}
