// Demo shows sstash at work: see package e2e for what happens.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sstash/sstash/internal/e2e"
)

func main() {
	binary := flag.String("sstash", "bin/sstash", "the program")
	rows := flag.Int("rows", 120_000, "rows to write")
	keep := flag.String("keep", "", "directory to work in and to keep; empty: a temporary one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary, *keep, *rows)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, dir string, rows int) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "sstash-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	log, err := os.Create(filepath.Join(dir, "sstash.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	began := time.Now()
	life := e2e.Life{
		Dir: dir, Binary: binary, Bucket: "file://" + filepath.Join(dir, "bucket"),
		Rows: rows, Out: os.Stdout, Log: log,
	}
	if err := life.Run(ctx); err != nil {
		if text, readErr := os.ReadFile(log.Name()); readErr == nil {
			os.Stderr.Write(text)
		}
		return err
	}
	fmt.Printf("done in %s\n", time.Since(began).Round(time.Second))
	return nil
}
