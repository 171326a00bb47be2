package bwe

import "math"

// capacity is where the path was full: mean and relative variance. The zero value knows
// nothing.
type capacity struct {
	mean, variance float64
}

func (c *capacity) add(rate float64) {
	if c.mean == 0 || c.above(rate) || rate < c.mean-3*c.deviation() {
		*c = capacity{rate, 0.01}
		return
	}
	d := (rate - c.mean) / c.mean
	c.mean += (rate - c.mean) / 8
	c.variance = min(max(c.variance+(d*d-c.variance)/8, 0.0016), 0.01)
}

func (c *capacity) deviation() float64 { return c.mean * math.Sqrt(c.variance) }

func (c *capacity) above(rate float64) bool { return c.mean > 0 && rate > c.mean+3*c.deviation() }

func (c *capacity) near(rate float64) bool {
	return c.mean > 0 && math.Abs(rate-c.mean) <= 3*c.deviation()
}
