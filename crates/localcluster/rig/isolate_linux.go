package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// hidden are directories that the node's programs always write to; each gets an empty file system that
// is visible only to them.
var hidden = []string{"/run", "/var/log", "/var/lib/cni"}

func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isolated runs serve as the first process of new namespaces and waits for it.
func isolated(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pid, err := syscall.ForkExec(self, []string{"rig", "inside", dir}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{os.Stdin.Fd(), os.Stdout.Fd(), os.Stderr.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
			Pdeathsig:  syscall.SIGKILL,
			Setpgid:    true,
		},
	})
	if err != nil {
		return fmt.Errorf("unable to make namespaces, which takes root: %w", err)
	}
	// Only the inner process holds the pipes now, so they close when it exits.
	os.Stdin.Close()
	os.Stdout.Close()
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err == syscall.EINTR {
			continue
		} else if err != nil {
			return err
		}
		if status.ExitStatus() != 0 {
			return fmt.Errorf("the namespaces ended early: %s", describe(status))
		}
		return nil
	}
}

// inside prepares the mount namespace, reports its process id outside, and executes commands.
func inside(dir string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	// Before /proc is replaced, it contains the process id outside.
	outside, err := os.Readlink("/proc/self")
	if err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("unable to make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("unable to mount /proc: %w", err)
	}
	for _, directory := range hidden {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
		if strings.HasPrefix(dir, directory+"/") {
			return fmt.Errorf("%s lies in %s, which the cluster hides; choose another cache directory", dir, directory)
		}
		if err := syscall.Mount("tmpfs", directory, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("unable to mount %s: %w", directory, err)
		}
	}
	if outsidePID, err = strconv.Atoi(outside); err != nil {
		return err
	}
	return serve()
}

var outsidePID int

func namespacePID() int {
	if outsidePID != 0 {
		return outsidePID
	}
	return os.Getpid()
}

// clean removes the cgroups, mounts and files of a run whose processes have exited.
func clean(dir, cgroup string) error {
	if err := cleanCgroups(cgroup); err != nil {
		return err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(table), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if fields := strings.Fields(lines[i]); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
				return fmt.Errorf("unable to unmount %s: %w", fields[4], err)
			}
		}
	}
	return removeAll(dir)
}

// cleanCgroups removes the cgroup from the unified hierarchy and from each version 1 controller.
func cleanCgroups(cgroup string) error {
	if cgroup == "" {
		return nil
	}
	roots, err := filepath.Glob("/sys/fs/cgroup/*/" + cgroup)
	if err != nil {
		return err
	}
	for _, root := range append(roots, "/sys/fs/cgroup/"+cgroup) {
		var directories []string
		_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				directories = append(directories, path)
			}
			return nil
		})
		for i := len(directories) - 1; i >= 0; i-- {
			if err := patiently(func() error { return syscall.Rmdir(directories[i]) }); err != nil {
				return fmt.Errorf("unable to remove cgroup %s: %w", directories[i], err)
			}
		}
	}
	return nil
}
