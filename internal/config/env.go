package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const envPrefix = "SSTASH_"

// reserved are the SSTASH_ variables that are no keys: which file to read,
// and where the project's tests keep what they downloaded.
func reserved(name string) bool {
	return name == "SSTASH_CONFIG" || name == "SSTASH_TEST_CACHE"
}

// EnvName returns the variable that overrides the key at a dotted path:
// SSTASH_FULL_EVERY for full.every.
func EnvName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// environment picks the keys out of environ, by variable name, and refuses
// SSTASH_ variables that are none.
func environment(environ []string) (map[string]string, error) {
	var scratch Config
	var known []string
	for _, k := range scratch.keys() {
		known = append(known, EnvName(k.path))
	}
	vars := map[string]string{}
	var errs []error
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case !strings.HasPrefix(name, envPrefix) || reserved(name):
		case slices.Contains(known, name):
			vars[name] = value
		default:
			hint := ""
			if near, ok := nearestEnv(name, known); ok {
				hint = fmt.Sprintf("; did you mean %s?", near)
			}
			errs = append(errs, fmt.Errorf("unknown variable %s in the environment%s", name, hint))
		}
	}
	return vars, errors.Join(errs...)
}

func nearestEnv(name string, known []string) (string, bool) {
	short := make([]string, len(known))
	for i, k := range known {
		short[i] = strings.ToLower(strings.TrimPrefix(k, envPrefix))
	}
	near, ok := nearest(strings.TrimPrefix(name, envPrefix), short)
	return EnvName(near), ok
}

// override sets the keys that vars names.
func (c *Config) override(vars map[string]string) error {
	var errs []error
	for _, k := range c.keys() {
		value, ok := vars[EnvName(k.path)]
		if !ok {
			continue
		}
		if err := k.set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", EnvName(k.path), err))
		}
	}
	return errors.Join(errs...)
}
