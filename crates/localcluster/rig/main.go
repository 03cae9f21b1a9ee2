// Command rig is the small helper beside the cluster's own programs. It uses only the standard library, so that it
// builds in a second and each of its processes takes a few megabytes.
//
//	rig run DIR [CGROUP]     start and watch programs for the process that holds standard input open, then clean up
//	rig clean DIR [CGROUP]   remove leftovers of a run
//	rig certificates DIR     write a CA and the certificates described on standard input
//	rig relay LISTEN TO [PID]  carry TCP connections, into the network namespace of PID if given
//	rig pause                wait for a signal, as the sandbox container of a pod
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// The kernel ties a parent death signal to the thread that started the child, so everything that starts children
// stays on the main thread, which exits with the process.
func init() { runtime.LockOSThread() }

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case matches(arguments, "pause", 0, 0):
		pause()
	case matches(arguments, "run", 1, 2):
		err = run(arguments[1], optional(arguments, 2))
	case matches(arguments, "inside", 1, 1):
		err = inside(arguments[1])
	case matches(arguments, "clean", 1, 2):
		err = clean(arguments[1], optional(arguments, 2))
	case matches(arguments, "certificates", 1, 1):
		err = certificates(arguments[1], os.Stdin)
	case matches(arguments, "relay", 2, 3):
		err = relay(arguments[1], arguments[2], optional(arguments, 3))
	case matches(arguments, "relay-inherited", 1, 1):
		err = relayInherited(arguments[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: rig run|clean|certificates|relay|pause ..., see main.go")
		os.Exit(64)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}

func matches(arguments []string, command string, least, most int) bool {
	rest := len(arguments) - 1
	return rest >= least && rest <= most && arguments[0] == command
}

func optional(arguments []string, index int) string {
	if index < len(arguments) {
		return arguments[index]
	}
	return ""
}

func pause() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
}
