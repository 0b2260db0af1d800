package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is set for the program in its world.
const inside = "CHAOS_INSIDE"

// enterWorld runs this program once more in a network and a file system of its own,
// which end with it: there it can make machines of namespaces, and disks. It reports
// false where the system does not allow that, or it is there already.
func enterWorld(ctx context.Context) (ran bool, err error) {
	if os.Getenv(inside) != "" {
		return false, nil
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		sayf("no namespaces here, so no faults of the network and of disks: %v", err)
		return false, nil
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-interrupts:
			_ = cmd.Process.Signal(s) // it may have had it from the terminal, or have ended
		case err := <-ended:
			return true, err
		}
	}
}

// furnish makes what every world has, and reports whether this is one.
func furnish() (bool, error) {
	if os.Getenv(inside) == "" {
		return false, nil
	}
	return true, errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), // what is mounted here is seen only here
		up("lo"),
	)
}

// mountDisk mounts a disk of its own for a directory. What it can take is not taken
// from anywhere before it is written.
func mountDisk(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("chaos", dir, "tmpfs", 0, fmt.Sprint("size=", diskBytes)); err != nil {
		return fmt.Errorf("mount a disk on %s: %w", dir, err)
	}
	return nil
}

const diskBytes = 2 << 30

func unmountDisk(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// fill takes all space that is left on the disk of a directory, until the file that it
// returns is removed.
func fill(dir string) (ballast string, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "ballast")
	if err != nil {
		return "", err
	}
	defer f.Close()
	taken := int64(0)
	for part := int64(s.Bavail) * s.Bsize; part >= s.Bsize; part /= 2 { //nolint:gosec // of a small disk
		for err = nil; err == nil; taken += part { // others write as well
			err = unix.Fallocate(int(f.Fd()), 0, taken, part) //nolint:gosec // it is a small number
			if err != nil {
				break
			}
		}
		if !errors.Is(err, unix.ENOSPC) {
			return f.Name(), fmt.Errorf("fill a disk: %w", err)
		}
	}
	return f.Name(), nil
}
