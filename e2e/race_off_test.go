//go:build !race

package e2e_test

// raceEnabled says that everything takes about five times as long.
const raceEnabled = false
