// Command probe is what the cluster tier's tests run in pods. As a server it answers each path with one thing a pod
// can see: its own name, what a name resolves to, a file, what another URL answers.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	// A new connection for each request, so that each is balanced separately.
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer := func(path string, f func(argument string) (string, error)) {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			text, err := f(r.URL.Query().Get("of"))
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				text = err.Error()
			}
			fmt.Fprint(w, text)
		})
	}
	answer("/name", func(string) (string, error) { return os.Hostname() })
	answer("/file", func(path string) (string, error) {
		content, err := os.ReadFile(path)
		return string(content), err
	})
	answer("/resolve", func(name string) (string, error) {
		addresses, err := net.LookupHost(name)
		return strings.Join(addresses, ","), err
	})
	answer("/get", func(url string) (string, error) {
		response, err := client.Get(url)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	})
	if err := http.ListenAndServe(":8000", nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
