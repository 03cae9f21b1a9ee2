package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
)

// inheritedListener is the file descriptor under which a listener crosses exec.
const inheritedListener = 3

// relay listens on an address of this network namespace and connects to one in the network namespace of pid: a
// socket stays in the namespace where it was created, so the listener is created before the namespace is entered. Its
// address is the only line of output.
func relay(listen, to, pid string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	if pid == "" {
		return serveRelay(listener, to)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	// Without close-on-exec, which os.File always sets.
	if err := duplicate(int(file.Fd()), inheritedListener); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	return syscall.Exec(nsenter, []string{"nsenter", "--net=/proc/" + pid + "/ns/net", self, "relay-inherited", to}, os.Environ())
}

func relayInherited(to string) error {
	listener, err := net.FileListener(os.NewFile(inheritedListener, "listener"))
	if err != nil {
		return err
	}
	return serveRelay(listener, to)
}

// serveRelay runs until standard input closes, when its owner exits.
func serveRelay(listener net.Listener, to string) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go carry(connection.(*net.TCPConn), to)
	}
}

func carry(near *net.TCPConn, to string) {
	defer near.Close()
	connection, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	far := connection.(*net.TCPConn)
	defer far.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(near, far)
	_ = near.CloseWrite()
	<-done
}
