package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// order is one line of standard input: start or kill a program.
type order struct {
	Start string   `json:"start"`
	Argv  []string `json:"argv"`
	Env   []string `json:"env"`
	Log   string   `json:"log"`
	Kill  string   `json:"kill"`
}

// event is one line of standard output. Ready comes first and once; PID is the process that owns the
// namespaces of the programs.
type event struct {
	Event  string `json:"event"` // ready, started, exited, failed
	Name   string `json:"name,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// run supervises one cluster in dir until standard input closes: the kernel closes that pipe when the owner exits for
// any reason. With a cgroup the programs get process, mount and network namespaces of their own, so that the
// exit of one process removes every process, mount, address and rule; only files and cgroups remain to be removed.
func run(dir, cgroup string) error {
	// Ctrl-C goes to the whole foreground group; the owner handles it. An owner that exited reads no events, and that
	// must not stop this process before the clean-up.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// A process that lists the running clusters may hold it for a moment.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("unable to lock %s: %w", lock.Name(), err)
	}
	var failure error
	if cgroup == "" {
		failure = serve()
	} else {
		failure = isolated(dir)
	}
	return errors.Join(failure, clean(dir, cgroup))
}

// serve executes commands until standard input closes, then kills the programs.
func serve() error {
	orders := make(chan order)
	go readOrders(orders)
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	events := json.NewEncoder(os.Stdout)
	running := map[int]string{}
	tell := func(e event) { _ = events.Encode(e) }
	reap := func() {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				return
			}
			if name, ours := running[pid]; ours {
				delete(running, pid)
				tell(event{Event: "exited", Name: name, PID: pid, Detail: describe(status)})
			}
		}
	}

	tell(event{Event: "ready", PID: namespacePID()})
	for {
		select {
		case <-children:
			reap()
		case o, open := <-orders:
			switch {
			case !open:
				for pid := range running {
					_ = syscall.Kill(-pid, syscall.SIGKILL)
				}
				for deadline := time.Now().Add(5 * time.Second); len(running) > 0 && time.Now().Before(deadline); {
					reap()
					time.Sleep(5 * time.Millisecond)
				}
				return nil
			case o.Start != "":
				pid, err := start(o)
				if err != nil {
					tell(event{Event: "failed", Name: o.Start, Detail: err.Error()})
					continue
				}
				running[pid] = o.Start
				tell(event{Event: "started", Name: o.Start, PID: pid})
			case o.Kill != "":
				for pid, name := range running {
					if name == o.Kill {
						_ = syscall.Kill(-pid, syscall.SIGKILL)
					}
				}
			}
		}
	}
}

func readOrders(orders chan<- order) {
	defer close(orders)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var o order
		if json.Unmarshal(line, &o) != nil {
			return
		}
		orders <- o
	}
}

func start(o order) (int, error) {
	if len(o.Argv) == 0 {
		return 0, errors.New("no program given")
	}
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(o.Argv[0], o.Argv, &syscall.ProcAttr{
		Env:   o.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   childAttributes(),
	})
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
